"""Random flips, crops and cutouts, against loops that treat one image at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exercise_code.data import (
    ArrayDataset,
    ComposeTransform,
    Cutout,
    DataLoader,
    FlattenTransform,
    NormalizeTransform,
    RandomCrop,
    RandomHorizontalFlip,
    RescaleTransform,
)
from exercise_code.data.augmentation import Augmentation


def small_cutout(rng=None):
    """One that leaves something of the small images here."""
    return Cutout(size=3, rng=rng)


KINDS = [RandomHorizontalFlip, RandomCrop, small_cutout]
DTYPES = [np.uint8, np.float32, np.float64]

stacks = st.tuples(*[st.integers(0, 5)] + [st.integers(1, 9)] * 2 + [st.integers(1, 4)]).flatmap(
    lambda shape: st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, shape, elements=st.integers(0, 255).map(dtype))
    )
)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(1, 256, size=(500, 6, 7, 3), dtype=np.uint8)


def slowly_flipped(images, prob, rng):
    return np.stack([np.fliplr(image) if rng.random() < prob else image for image in images])


def slowly_cropped(images, padding, fill, rng):
    out = []
    for image in images:
        top, left = rng.integers(2 * padding + 1, size=2)
        framed = np.stack(
            [np.pad(image[..., c], padding, constant_values=fill[c]) for c in range(image.shape[-1])], axis=-1
        )
        out.append(framed[top : top + image.shape[0], left : left + image.shape[1]])
    return np.stack(out)


def slowly_cut(images, size, fill, rng):
    out = images.copy()
    for image in out:
        y, x = (rng.integers(end) for end in image.shape[:2])
        first_row, first_column = y - size // 2, x - size // 2
        for row in range(max(first_row, 0), min(first_row + size, image.shape[0])):
            for column in range(max(first_column, 0), min(first_column + size, image.shape[1])):
                image[row, column] = fill
    return out


@pytest.mark.parametrize("dtype", DTYPES)
def test_flips_equal_those_of_a_loop(images, dtype):
    images = images.astype(dtype)

    out = RandomHorizontalFlip(0.4, np.random.default_rng(3)).batch(images)

    np.testing.assert_array_equal(out, slowly_flipped(images, 0.4, np.random.default_rng(3)))


@pytest.mark.parametrize("padding", [1, 4, 20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_crops_equal_those_of_a_loop(images, dtype, padding):
    images, fill = images.astype(dtype), np.array([7, 8, 9], dtype)

    out = RandomCrop(padding, fill, np.random.default_rng(3)).batch(images)

    np.testing.assert_array_equal(out, slowly_cropped(images, padding, fill, np.random.default_rng(3)))


@pytest.mark.parametrize("size", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cutouts_equal_those_of_a_loop(images, dtype, size):
    images, fill = images.astype(dtype), np.array([7, 8, 9], dtype)

    out = Cutout(size, fill, np.random.default_rng(3)).batch(images)

    np.testing.assert_array_equal(out, slowly_cut(images, size, fill, np.random.default_rng(3)))


@settings(deadline=None, max_examples=60)
@given(images=stacks, kind=st.sampled_from(KINDS), seed=st.integers(0, 9))
def test_shape_and_dtype_are_kept_the_argument_untouched_and_a_stack_equals_its_images_one_by_one(images, kind, seed):
    images.flags.writeable = False
    in_one, singly = (kind(rng=np.random.default_rng(seed)) for _ in range(2))

    out = in_one.batch(images)

    assert out.shape == images.shape
    assert out.dtype == images.dtype
    assert not np.shares_memory(out, images)
    for image, expected in zip(images, out, strict=True):
        np.testing.assert_array_equal(singly(image), expected)
    assert in_one.rng.bit_generator.state == singly.rng.bit_generator.state


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_are_a_strided_view_are_treated_like_a_copy_of_them(images, kind):
    view = images[::2, ::-1, 1:].transpose(0, 2, 1, 3)

    np.testing.assert_array_equal(kind().batch(view), kind().batch(view.copy()))


@pytest.mark.parametrize("kind", KINDS)
def test_two_made_alike_change_images_alike_and_anew_in_every_batch(images, kind):
    one, two = kind(), kind()

    first = one.batch(images)

    np.testing.assert_array_equal(first, two.batch(images))
    assert (one.batch(images) != first).any()


def test_all_moves_of_a_crop_are_equally_likely():
    """Chi-squared over the 25 moves of 10,000 crops; the limit is passed by chance once in 10,000 seeds."""
    from scipy.stats import chi2

    marked = np.zeros((10_000, 5, 5, 1), np.uint8)
    marked[:, 2, 2] = 1

    places = RandomCrop(2).batch(marked).reshape(-1, 25).argmax(axis=1)

    counts = np.bincount(places, minlength=25)
    assert ((counts - 400) ** 2 / 400).sum() < chi2.ppf(1 - 1e-4, df=24)


def test_the_centre_of_a_cutout_is_any_pixel_with_equal_probability():
    from scipy.stats import chi2

    counts = (Cutout(1).batch(np.ones((10_000, 4, 5, 1), np.uint8)) == 0).sum(axis=0).ravel()

    assert counts.sum() == 10_000
    assert ((counts - 500) ** 2 / 500).sum() < chi2.ppf(1 - 1e-4, df=19)


def test_the_generators_made_when_none_is_given_are_independent():
    """With one seed for all, mirrored images would move to one side: both draws would come from the same bits."""
    draws = np.array([kind().rng.random(10_000) for kind in KINDS])

    correlations = np.corrcoef(draws)[np.triu_indices(3, 1)]

    assert np.abs(correlations).max() < 0.05  # five standard errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomHorizontalFlip(1.5), "prob must lie in"),
        (lambda: RandomHorizontalFlip(float("nan")), "prob must lie in"),
        (lambda: RandomCrop(0), "padding must be a whole number of at least 1, got 0"),
        (lambda: RandomCrop(1.5), "padding must be a whole number"),
        (lambda: Cutout(0), "size must be a whole number of at least 1, got 0"),
        (lambda: Cutout(-2), "size must be a whole number"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [RandomCrop, Cutout])
@pytest.mark.parametrize("fill", [-1, 256, 0.5, float("nan"), [0, 0, 300]])
def test_a_fill_that_the_images_cannot_hold_is_refused(images, kind, fill):
    with pytest.raises(ValueError, match=r"fill must be whole and within 0\.\.255 for uint8 images"):
        kind(fill=fill).batch(images)
    assert kind(fill=fill).batch(images.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_flattened_images_are_refused_with_a_word_on_the_order(images, kind):
    with pytest.raises(ValueError, match=r"expected images \(N, H, W, C\), got .* Put it before FlattenTransform"):
        kind().batch(images.reshape(500, -1))
    with pytest.raises(ValueError, match=r"expected an image \(H, W, C\), got .* Put it before FlattenTransform"):
        kind()(images[0].ravel())


def test_all_are_importable_from_the_package_and_the_flip_from_where_it_was():
    from exercise_code.data import transforms

    assert transforms.RandomHorizontalFlip is RandomHorizontalFlip
    assert all(isinstance(kind(), Augmentation) for kind in KINDS)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_flip_anywhere_before_flattening_gives_the_same_batch(images, position):
    steps = [RescaleTransform(), NormalizeTransform([0.1, 0.2, 0.3], 0.5)]
    chain = ComposeTransform([*steps[:position], RandomHorizontalFlip(), *steps[position:], FlattenTransform()])
    singly = ComposeTransform([*steps[:position], RandomHorizontalFlip(), *steps[position:], FlattenTransform()])

    out = chain.batch(images)

    np.testing.assert_allclose(out, np.stack([singly(image) for image in images]), atol=1e-6)
    expected = (slowly_flipped(images, 0.5, np.random.default_rng(0)) / 255 - [0.1, 0.2, 0.3]) / 0.5
    np.testing.assert_allclose(out, expected.reshape(500, -1), atol=1e-6)


def test_a_crop_after_normalising_keeps_its_place_because_its_frame_is_not_rescaled(images):
    chain = ComposeTransform([NormalizeTransform(100.0, 2.0), RandomCrop(6, fill=0)])

    out = chain.batch(images)

    expected = slowly_cropped((images.astype(np.float32) - 100) / 2, 6, [0, 0, 0], np.random.default_rng(1))
    np.testing.assert_allclose(out, expected, atol=1e-5)


def augmented(images, shared=None):
    steps = [kind(rng=shared) for kind in KINDS] + [RescaleTransform(), FlattenTransform()]
    return DataLoader(
        ArrayDataset(images, np.arange(500), ComposeTransform(steps)), batch_size=64, shuffle=True, rng=shared
    )


def epoch_of(loader):
    batches = list(loader)
    return np.concatenate([b["image"] for b in batches]), np.concatenate([b["label"] for b in batches])


@pytest.mark.parametrize("seed", [None, 5])
def test_an_augmented_epoch_is_repeated_by_a_fork_even_when_all_share_one_generator(images, seed):
    loader = augmented(images, None if seed is None else np.random.default_rng(seed))
    first = epoch_of(loader)

    fork = epoch_of(loader.fork())
    second = epoch_of(loader)

    for ours, twin in zip(second, fork, strict=True):
        np.testing.assert_array_equal(ours, twin)
    assert (second[1] != first[1]).any()


def test_augmentation_is_left_out_of_the_exported_preprocessing():
    from exercise_code.onnx_export import _pixel_affine

    chain = ComposeTransform([*[kind() for kind in KINDS], RescaleTransform(), FlattenTransform()])

    scale, shift = _pixel_affine(chain, channels=3)

    np.testing.assert_allclose(scale, [1, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(shift, [0, 0, 0])
