FROM php:8-apache
MAINTAINER old <old@example.invalid>
ENV APACHE_DOCUMENT_ROOT /var/www/html/public
RUN docker-php-ext-install pdo_mysql
COPY . /var/www/html
RUN chown -R www-data /var/www/html
CMD apache2-foreground
CMD exec apache2-foreground
CMD ["apache2-foreground"]
