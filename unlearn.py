"""Unlearn a forget set with a method, and compare with retraining."""

from unlearn.programs.entry import run

if __name__ == "__main__":
    run()
