"""Words plans, their costs, and spaces for people."""
