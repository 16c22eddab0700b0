"""The built-in face model, computed from formulas: surface, eyes and mouth, mesh, muscles, identity, action units."""
