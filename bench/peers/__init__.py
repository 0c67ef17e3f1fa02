"""What chatstore is measured against; runs in a virtual environment of its own."""
