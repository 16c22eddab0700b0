"""What people do: expressions in action units, habits, the course of time."""
