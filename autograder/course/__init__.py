"""From the authors' sources to what students receive: manifest, strip, build, release, bundle."""
