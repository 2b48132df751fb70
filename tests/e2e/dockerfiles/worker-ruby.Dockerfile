ARG RUBY=3.3
FROM ruby:${RUBY}
RUN apt-get update && apt-get install -y --no-install-recommends \
    build-essential \
    libpq-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /worker
COPY Gemfile Gemfile.lock ./
RUN bundle install --jobs 4
COPY . .
CMD bundle exec sidekiq
CMD ["bundle", "exec", "sidekiq", "-C", "config/sidekiq.yml"]
