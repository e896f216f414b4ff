"""The domain: digests, names, manifests, blobs, uploads, repositories. No HTTP here."""
