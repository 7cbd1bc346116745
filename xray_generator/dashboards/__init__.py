"""What the pages that explore and measure show, computed: numbers in, numbers out, and nothing drawn."""
