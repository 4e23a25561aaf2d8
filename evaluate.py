"""Compare all runs of a problem: tables, pictures, intervals, noise floors."""

from unlearn.programs.entry import evaluate

if __name__ == "__main__":
    evaluate()
