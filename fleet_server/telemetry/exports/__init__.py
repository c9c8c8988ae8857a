"""Downloads of telemetry: what is asked for, rows in bounded blocks, three formats, the stream of them."""
