"""Opening data sets: zarr, parquet, .npy and .npz."""
