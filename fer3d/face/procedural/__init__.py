"""Our own face model, made by formulas: surface, inside of the mouth and eyes, mesh, muscles, people, action units."""
