"""What goes to disk, and its checks."""
