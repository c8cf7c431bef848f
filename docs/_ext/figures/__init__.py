"""The figures of the pages, and the numbers in their text."""

from figures import digits, paper, plane

DRAWINGS = [
    plane.leaves,
    plane.path_and_walk,
    digits.directions,
    digits.spectra,
    digits.training,
    digits.horizontal_path_of_digits,
    digits.orthogonal_walk_of_digits,
    digits.walk_towards_a_digit,
    digits.map_of_digits,
]
NUMBERS = [
    plane.plane_accuracy,
    plane.plane_path,
    plane.plane_walk,
    plane.plane_left_orthogonal,
    digits.digits_accuracy,
    digits.digits_first_trace,
    digits.digits_peak,
    digits.digits_path,
    digits.digits_walk,
    digits.digits_towards,
    digits.digits_map_covered,
    paper.paper_reached,
    paper.paper_left,
]
