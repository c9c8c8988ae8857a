"""The city as OGC SensorThings API 1.1 (OGC 18-088): a face, for reading, of what the other slices have."""
