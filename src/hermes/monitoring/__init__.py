"""What `hermes run` leaves for those who watch it: a metrics file, and notices of signals and failures."""
