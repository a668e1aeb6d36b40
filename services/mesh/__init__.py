"""Where requests go: Envoy's configuration, built from a plain description of the mesh."""
