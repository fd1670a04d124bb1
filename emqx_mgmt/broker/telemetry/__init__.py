"""What the broker shows of itself."""
