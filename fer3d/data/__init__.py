"""What training reads: samples of maps, trees and pictures, their channels, normalisation, augmentation and pairs."""
