"""How a face is scanned and photographed: cameras, lamps, a scene, a range sensor."""
