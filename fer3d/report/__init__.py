"""Pictures and pages from what is stored. Renders; computes nothing that a number in a paper would rest on."""
