"""Training data: samples of maps, trees and pictures, their channels, normalisation, augmentation and pairs."""
