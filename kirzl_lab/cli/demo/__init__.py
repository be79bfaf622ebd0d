"""`kirzl-lab demo`: fills a lab that is for trying."""
