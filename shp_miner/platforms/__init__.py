"""What each platform's data mean, in one place for files and for APIs."""
