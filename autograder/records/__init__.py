"""What is known about every submission, and what leaves the house: grades for staff, scores for the page."""
