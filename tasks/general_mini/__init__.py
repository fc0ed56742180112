"""Small generated tasks of general skill: the embedded other end of the seesaw."""
