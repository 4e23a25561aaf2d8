"""Train the original or retrained models of a problem, one or a bank of them."""

from unlearn.programs.entry import train

if __name__ == "__main__":
    train()
