-- By which a token is known at the MySQL door without being shown (mysql_native_password), where it
-- opens applications; tokens from before have none.
ALTER TABLE tokens ADD COLUMN native TEXT;
