"""What technicians do at a post: site reports, pictures, the site's history, labels."""
