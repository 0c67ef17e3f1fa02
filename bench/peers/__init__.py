"""The projects to compare chatstore with; they run in a virtual environment apart."""
