"""How good are the images: measures of image sets, of prompts, of copies and of use, and the records that hold them."""
