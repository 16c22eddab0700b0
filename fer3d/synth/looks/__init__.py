"""What a face looks like: skin, features, fine lines, what covers it."""
