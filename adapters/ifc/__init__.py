"""IFC buildings (ISO 16739) by IfcOpenShell, read in a limited child process."""
