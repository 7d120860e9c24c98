"""Evaluation of models: PSNR and SSIM on pairs of photos, or on photos that are degraded in fixed ways."""
