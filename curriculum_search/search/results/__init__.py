"""What a finished study leaves."""
