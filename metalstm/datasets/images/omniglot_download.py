"""Omniglot fetched by torchvision, and put in place only when it is whole."""

from __future__ import annotations

import logging
from pathlib import Path

from metalstm.datasets.files.download import downloading
from metalstm.datasets.images.omniglot_files import SUBFOLDER

log = logging.getLogger(__name__)


def download_omniglot(root: Path) -> None:
    """Fetch and unpacks both zips into `root/omniglot-py`, the layout of torchvision.

    Raises:
        DataError: it failed; says which two zips to put where by hand.
    """
    from torchvision.datasets import Omniglot  # here, since it takes a while and most starts download nothing

    files = " and ".join(f"{Omniglot.download_url_prefix}/{name}.zip" for name in Omniglot.zips_md5)
    by_hand = f"fetch {files} by hand, and put both into {root}, or name the folder that holds them with dataset.root"
    log.info("downloading Omniglot to %s", root / SUBFOLDER)
    with downloading(root, SUBFOLDER, "Omniglot", by_hand) as folder:
        for background in (True, False):
            Omniglot(str(folder), background=background, download=True)
