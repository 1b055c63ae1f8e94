# SPDX-License-Identifier: MIT
"""Are the pictures in a mount those of the force, upright, whole and with nothing else in them?

The judge is not our code: PIL decodes and turns, exiftool looks for metadata.
"""
import json
import math
import multiprocessing
import os
import pathlib
import shutil
import subprocess

from world import check, skip

try:
    from PIL import Image, ImageChops, ImageOps
except ImportError:
    Image = None

# What exiftool may find, by its group: facts of the file and the picture itself. APP14 tells a decoder how colours are stored.
HARMLESS = {'SourceFile', 'ExifTool', 'File', 'Composite', 'JFIF', 'ICC_Profile', 'APP14', 'PNG'}
HARMLESS_PNG = {'ImageWidth', 'ImageHeight', 'BitDepth', 'ColorType', 'Compression', 'Filter', 'Interlace', 'Palette', 'Transparency',
                'SRGBRendering', 'Gamma', 'PixelsPerUnitX', 'PixelsPerUnitY', 'PixelUnits'}
MIN_PSNR = 40


def need_judges():
    if Image is None:
        skip('PIL is not installed (Debian package python3-pil)')
    if shutil.which('exiftool') is None:
        skip('exiftool is not installed (Debian package libimage-exiftool-perl)')


def psnr(a, b):
    """Peak signal to noise of two pictures of one size and mode, dB; infinite if they are the same."""
    histogram = ImageChops.difference(a, b).histogram()
    squares = sum(n * (i % 256) ** 2 for i, n in enumerate(histogram))
    if squares == 0:
        return math.inf
    return 10 * math.log10(255 ** 2 * a.size[0] * a.size[1] * len(a.getbands()) / squares)


def compare(source, served, orientation):
    """None if `served` is `source` upright, else what is wrong. Returns also the dB (inf: the same pixels)."""
    with Image.open(source) as from_camera, Image.open(served) as got:
        icc = from_camera.info.get('icc_profile')
        if got.info.get('icc_profile') != icc:
            return 'the colour profile was not kept', 0.0
        got.load()
        from_camera.load()
        upright = from_camera if orientation == 1 else ImageOps.exif_transpose(from_camera)
        if got.mode != upright.mode or got.size != upright.size:
            return f'{got.mode} {got.size} instead of {upright.mode} {upright.size}', 0.0
        db = psnr(upright, got)
        if orientation == 1 and db != math.inf:
            return f'upright, and yet the pixels are others ({db:.1f} dB)', db
        if db <= MIN_PSNR:
            return f'turned, {db:.1f} dB', db
        return None, db


def compare_one(job):
    ref, source, served, orientation = job
    try:
        wrong, db = compare(source, served, orientation)
    except (OSError, SyntaxError, ValueError) as e:
        wrong, db = f'{type(e).__name__}: {e}', 0.0
    return ref, wrong, db


def same_pictures(force, truth, folder):
    """Each photo of `truth` (records of the maker of forces, with refs) in `folder` is the one in `force`, upright. Returns counts."""
    jobs = []
    for t in truth:
        if t['photo'] is not None:
            jobs.append((t['ref'], str(pathlib.Path(force) / t['photo']['file']), str(pathlib.Path(folder) / f'{t["ref"]}.JPG'),
                         t['photo']['orientation']))
    served = sorted(os.listdir(folder))
    check(served == sorted(f'{ref}.JPG' for ref, *_ in jobs), 'one photo for each record that has one')
    turned, worst = 0, math.inf
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for ref, wrong, db in pool.imap_unordered(compare_one, jobs, chunksize=8):
            check(wrong is None, f'photo {ref}: {wrong}')
            worst = min(worst, db)
    turned = sum(orientation != 1 for *_, orientation in jobs)
    return {'photos': len(jobs), 'turned': turned, 'worst_db': worst}


def same_signatures(force, truth, folder):
    """Each signature has the pixels of its source."""
    check(sorted(os.listdir(folder)) == sorted(f'{t["ref"]}.PNG' for t in truth if t['signature']), 'one signature for each that has one')
    for t in truth:
        if t['signature']:
            with Image.open(pathlib.Path(force) / t['signature']['file']) as source, Image.open(folder / f'{t["ref"]}.PNG') as got:
                check(source.mode == got.mode and source.size == got.size and psnr(source, got) == math.inf,
                      f'signature {t["ref"]} has the same pixels')


def no_metadata(top):
    """exiftool, over everything below `top`, finds no EXIF, GPS, XMP, IPTC, comment, text, second picture, trailer. Returns files seen."""
    p = subprocess.run(['exiftool', '-q', '-r', '-j', '-a', '-u', '-G0:1', '-ext', '*', str(top)], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    seen = json.loads(p.stdout)
    for one in seen:
        name = os.path.relpath(one['SourceFile'], top)
        for tag in one:
            group = tag.split(':')[0]
            check(group in HARMLESS, f'{name} carries {tag}')
            check(not tag.endswith((':Comment', ':Trailer')), f'{name} carries {tag}')
            # A text file is no picture: exiftool says so as an error.
            check(not tag.endswith((':Warning', ':Error')) or not name.upper().endswith(('.JPG', '.PNG')), f'{name}: {one[tag]}')
            check(group != 'PNG' or tag.split(':')[-1] in HARMLESS_PNG, f'{name} carries {tag}')
    return len(seen)
