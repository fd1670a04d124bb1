"""Work at its time: periodic, in rounds, in turns."""
