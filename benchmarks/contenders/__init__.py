"""One way of serving the plain loop a file, each in the form that its own documentation shows."""
