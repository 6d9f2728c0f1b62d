"""What a run says about itself: report.json and report.html."""
