"""No table of its own: personal data lies in the tables of the other slices (`inventory.py`)."""
