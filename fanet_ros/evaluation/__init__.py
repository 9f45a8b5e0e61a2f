"""How well weights do on a labelled data set: prediction, scores, protocols and reports behind `fanet evaluate`."""
