"""What a person made: found by what its recipe says, rated, compared, deleted and brought back, exported."""
