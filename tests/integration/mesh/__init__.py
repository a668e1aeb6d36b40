"""Tests of the mesh with the real Envoy."""
