"""What all stages share; each file says what it is for."""
