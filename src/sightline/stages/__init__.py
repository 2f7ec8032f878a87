"""The stages of the walk, one file each: ingest → split → train → evaluate → report; pipeline.py walks them."""
