"""What people use today for the same work, written as they write it. Nothing here is part of the product."""
