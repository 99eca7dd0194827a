"""The drawn world of the embedded sample: buildings, scenery and a camera."""
