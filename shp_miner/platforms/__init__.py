"""What a platform's own words mean, told once for files and for APIs."""
