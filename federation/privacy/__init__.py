"""Fleet figures for partners, with differential privacy: what one twin adds to them cannot be told."""
