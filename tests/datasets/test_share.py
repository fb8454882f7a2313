"""A share of the training images: of every class as many, and always the same ones."""

import numpy as np

from datasets.access import open_final_data, open_search_data
from datasets.loading.loader import batches
from datasets.loading.share import all_images, share_of, take_share
from datasets.splits import Split


def labels_of(split: Split) -> list[int]:
    found = [labels for _, labels in batches(split, 64, order_seed=None, drop_last=False)]
    return np.concatenate([each.numpy() for each in found]).tolist()


def test_a_share_has_as_many_images_of_every_class_and_val_stays_whole(tiny_data):
    data = open_search_data(tiny_data)
    part = take_share(data, 1 / 4)
    whole, found = np.bincount(labels_of(data.train)), np.bincount(labels_of(part.train))
    assert found.tolist() == [max(1, round(n / 4)) for n in whole]
    assert set(part.train.indices) < set(data.train.indices)
    assert set(part.train_sample.indices) <= set(data.train_sample.indices)
    assert part.val is data.val
    assert part.images is data.images


def test_a_share_is_the_same_in_each_training_and_the_whole_is_the_data_itself(tiny_data):
    data = open_search_data(tiny_data)
    assert np.array_equal(share_of(data.train, 0.5).indices, share_of(data.train, 0.5).indices)
    assert take_share(data, 1).train is data.train
    assert share_of(data.train, 0.5).name == "train × 0.5"


def test_all_images_of_a_file_are_those_of_final_training(tiny_data):
    data, final = open_search_data(tiny_data), open_final_data(tiny_data)
    for split in (data.train, data.val):
        assert all_images(split).indices.tolist() == final.train.indices.tolist()
