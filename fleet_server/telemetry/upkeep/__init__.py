"""What the worker role keeps in order, each a bounded tick that can be repeated and cut off anywhere."""
